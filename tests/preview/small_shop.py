"""A small shop with every published table, for three days, published as a run does it.

Rows follow the contract; their numbers are made up but hang together: a page's cards are items of the catalogue,
its reasons rest on items that are there, a filter's places fit the list.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from spark_jobs.pseudonyms import Pseudonyms
from tests.candidate_tables import Rows, check_result, write_candidates, write_check_results
from warehouse.publish import publish

DAYS = ("2026-10-29", "2026-10-30", "2026-10-31")
USERS, ITEMS = 24, 120
KEY = "a key that only the tests know"


def user_id(number: int) -> str:
    """The pseudonym of the shop's user `u<number>`."""
    return Pseudonyms(KEY.encode()).of(f"u{number}")


#: Of the users that tests look for: one with everything, one who is new and has no page yet.
RICH, NEW = user_id(7), user_id(3)

CATALOGUE = {
    "母婴": (("云柔婴儿湿巾", "有机棉口水巾", "婴儿润肤霜"), ("小满", "Cloudnest")),
    "美妆个护": (("玫瑰保湿面霜", "清润面膜", "氨基酸洗发水"), ("花露白", "初雪")),
    "Home & Kitchen": (("Pour-over Coffee Beans", "Cast Iron Pan", "Linen Quilt"), ("Copperleaf", "Norvik")),
    "数码": (("蓝牙耳机", "快充充电器", "便携音箱"), ("云途", "Lumora")),
    "Sports & Outdoors": (("Trail Running Vest", "Yoga Mat", "Two-person Tent"), ("Ridgeback", "Kitewind")),
}
SEGMENTS = {
    "t1": ("Care at home", "居家护理", "母婴", "小满"),
    "t2": ("Outdoor and active", "户外运动", "Sports & Outdoors", "Ridgeback"),
    "t3": ("Coffee and kitchen", "咖啡厨房", "Home & Kitchen", "Copperleaf"),
}
STAGES = ("loyal", "active", "at_risk", "new", "visitor", "dormant")
RULE_SEGMENTS = ("champions", "promising", "at_risk", "new_buyers", "window_shoppers", "lost")
REASONS = (
    ("buy_again", "buy_again", "You bought this before", "你以前买过它"),
    ("item_to_item", "because_you_bought", "Because you bought {}", "因为你买过“{}”"),
    ("sequence_model", "because_you_viewed", "Because you looked at {}", "因为你看过“{}”"),
    ("text", "similar_text", "Similar to {}", "与“{}”相似"),
    ("popular_in_segment", "popular_in_segment", "Popular with {}", "受{}欢迎"),
)


def items() -> Rows:
    """The catalogue: id, title, category, brand, price."""
    rows = []
    for n in range(ITEMS):
        category = list(CATALOGUE)[n % len(CATALOGUE)]
        nouns, brands = CATALOGUE[category]
        brand = brands[n % 2]
        title = f"{brand} {nouns[n % 3]} {1 + n // 15}"
        rows.append(
            {
                "item_id": f"p{n:04}",
                "title": title,
                "category": category,
                "brand": brand,
                "price": round(18 + (n * 37) % 500 + 0.9, 2),
            }
        )
    return rows


def tables(as_of: str, run_id: str, generated_at: datetime, users: int = USERS) -> dict[str, Rows]:
    """Every published table of one day but the checks' results."""
    day = date.fromisoformat(as_of)
    rng = np.random.default_rng(day.toordinal())
    run = {"as_of_date": day, "run_id": run_id, "model_version": "test-1", "generated_at": generated_at}
    catalogue = items()
    lists = {n: _list(n, day, catalogue, rng, run) for n in range(users)}
    recommendations = [row for rows in lists.values() for row in rows]
    portraits = [_portrait(n, day, run) for n in range(users)]
    return {
        "user_portraits": portraits,
        "user_traits": [row for n in range(users) for row in _traits(n, portraits[n], day, run)],
        "taste_segments": [
            {
                "taste_segment": name,
                "name": english,
                "name_zh": chinese,
                "description": f"Buys {category} 3.1 times as often as everyone, {orders} orders in 90 days.",
                "description_zh": f"购买{category}的频率是全体的 3.1 倍，90 天 {orders} 单。",
                "users": users // 3,
                "share": 1 / 3,
                "average_order_value": 120.5,
                "orders_90d": float(orders),
                "top_category": category,
                "top_category_lift": 3.1,
                "top_brand": brand,
                "top_brand_lift": 2.4,
                **run,
            }
            for orders, (name, (english, chinese, category, brand)) in enumerate(SEGMENTS.items(), start=2)
        ],
        "item_portraits": [
            {
                **item,
                "price_band": "mid",
                "is_active": n % 17 != 0,
                "popularity": 50.0 / (1 + n),
                "popularity_rank": n + 1,
                "trend": 1.1,
                "views_30d": 400 - n,
                "purchases_30d": max(90 - n, 1),
                "conversion": 0.05,
                "return_rate": 0.02,
                "reviews": 4,
                "review_rating": 4.4,
                "review_sentiment": 0.5,
                "keywords": "soft, gentle",
                "buyer_segment": "t1",
                "buyer_segment_lift": 1.4,
                "is_cold_start": n % 13 == 5,
                **run,
            }
            for n, item in enumerate(catalogue)
        ],
        "home_recommendations": recommendations,
        "recommendation_explanations": [row for rec in recommendations for row in _explained(rec, catalogue, run)],
        "recommendation_filters": [row for n, rows in lists.items() for row in _filtered(n, rows, catalogue, run)],
        "homepage_layouts": [
            row for n, rows in lists.items() if n != 3 for row in _page(n, rows, catalogue, day, run)
        ],
        "similar_items": [
            {
                "item_id": "p0000",
                "rank": rank,
                "similar_item_id": f"p{rank:04}",
                "score": 1 / rank,
                "reason_code": "bought_together",
                **run,
            }
            for rank in range(1, 6)
        ],
        "hot_items": [
            {"segment": "all", "rank": rank, "item_id": f"p{rank:04}", "score": 20.0 - rank, **run}
            for rank in range(1, 11)
        ],
        "model_metrics": _metrics(day, rng, users, run),
    }


def _portrait(n: int, day: date, run: dict[str, Any]) -> dict[str, Any]:
    stage = STAGES[n % 6] if n != 7 else "loyal"
    name = list(SEGMENTS)[n % 3]
    step = (day - date(2026, 10, 29)).days
    bought = stage not in ("visitor", "new")
    orders = (9 - n % 6) + step if bought else 0
    return {
        "user_id": user_id(n),
        "lifecycle_stage": "active" if n == 7 and step < 2 else stage,
        "segment": RULE_SEGMENTS[n % 6] if n != 7 else "champions",
        "days_since_last_purchase": 2 + n % 6 if bought else None,
        **{f"orders_{w}d": orders * w // 365 + (w > 7 and bought) for w in (7, 30, 90, 365)},
        **{f"amount_spent_{w}d": round(orders * w / 3.1, 2) for w in (7, 30, 90, 365)},
        "average_order_value": 118.4 if bought else None,
        "favorite_category": SEGMENTS[name][2] if bought else None,
        "favorite_brand": SEGMENTS[name][3] if bought else None,
        "price_band": "mid" if bought else None,
        "active_hour": 20,
        "platform": "mini_program",
        "language": "zh" if n % 2 else "en",
        "region": "江苏",
        "taste_segment": name,
        "average_days_between_orders": 11.5 if bought else None,
        "next_purchase_expected_on": day + timedelta(days=6) if bought else None,
        "active_weekday": "sunday",
        "price_level": 0.42,
        "bargain_seeking": 0.31,
        "novelty_seeking": 0.22,
        "review_sentiment": 0.4,
        "portrait_text": f"A {stage.replace('_', ' ')} customer who mostly buys {SEGMENTS[name][2]}, about every "
        "12 days, likes to look around in the evening and tries new things now and then.",
        "portrait_text_zh": f"{SEGMENTS[name][1]}人群，主要购买{SEGMENTS[name][2]}，大约每 12 天下一单，"
        "常在晚上浏览，偶尔尝新。",
        "confidence": round(min(0.2 + orders / 12, 0.99), 3),
        "is_cold_start": n == 3,
        **run,
    }


def _traits(n: int, portrait: dict[str, Any], day: date, run: dict[str, Any]) -> Rows:
    step = (day - date(2026, 10, 29)).days
    kinds: list[tuple[str, str, str, float | None, float, tuple[str, str], int]] = [
        ("lifecycle_stage", "all", portrait["lifecycle_stage"], None, 0.9, ("9 orders", "9 单"), 9),
        ("taste_segment", "all", portrait["taste_segment"], 0.71, 0.7, ("what 9 orders hold", "9 单的内容"), 9),
        ("active_weekday", "all", "sunday", 0.31, 0.6, ("31% of 58 active days", "占 58 个活跃日的 31%"), 58),
    ]
    if n != 3:
        kinds += [
            *[
                (
                    "category_affinity",
                    category,
                    f"{strength:.2f}",
                    strength,
                    0.9 - place / 10,
                    (f"{strength:.0%} of the user's actions", f"占该用户行为的 {strength:.0%}"),
                    12 - place,
                )
                for place, (category, strength) in enumerate(
                    zip(CATALOGUE, (0.62, 0.2, 0.1, 0.05, 0.03), strict=True)
                )
            ],
            (
                "brand_affinity",
                SEGMENTS[portrait["taste_segment"]][3],
                f"{0.4 + step / 10:.2f}",
                0.4 + step / 10,
                0.7,
                ("7 purchases", "7 次购买"),
                7,
            ),
            ("price_level", "all", "middle", 0.42, 0.66, ("14 purchases", "14 次购买"), 14),
            ("purchase_rhythm", "all", "12 days", 11.5, 0.58, ("8 gaps between orders", "8 次下单间隔"), 8),
            (
                "next_purchase",
                "all",
                f"{day + timedelta(days=6)}",
                6.0,
                0.5,
                ("the rhythm of 8 gaps", "8 次间隔的节奏"),
                8,
            ),
            (
                "bargain_seeking",
                "all",
                "0.31",
                0.31,
                0.62,
                ("4 of 14 below the usual price", "14 次中有 4 次低于常价"),
                14,
            ),
            (
                "novelty_seeking",
                "all",
                "0.22",
                0.22,
                0.44,
                ("3 of 14 new to the catalogue", "14 件中有 3 件新品"),
                14,
            ),
        ]
    if n == 7 and step == 2:
        kinds.append(("review_sentiment", "all", "positive", 0.4, 0.3, ("2 reviews", "2 条评价"), 2))
    return [
        {
            "user_id": user_id(n),
            "trait": trait,
            "subject": subject,
            "value": value,
            "strength": strength,
            "confidence": confidence,
            "source": "model" if trait in ("taste_segment", "next_purchase") else "measured",
            "evidence": evidence[0],
            "evidence_zh": evidence[1],
            "evidence_count": count,
            "valid_from_at": datetime(2026, 8, 2),
            **run,
        }
        for trait, subject, value, strength, confidence, evidence, count in kinds
    ]


def _list(n: int, day: date, catalogue: Rows, rng: np.random.Generator, run: dict[str, Any]) -> Rows:
    tastes = np.random.default_rng(n).gumbel(size=len(catalogue)) - 0.02 * np.arange(len(catalogue))
    tastes[::17] = -np.inf  # not on sale
    order = np.argsort(-(tastes + 0.25 * rng.gumbel(size=len(catalogue))), kind="stable")[:20]
    rows = []
    for rank, index in enumerate(order.tolist(), start=1):
        source, reason, english, chinese = REASONS[(rank - 1) // 2 % len(REASONS)]
        evidence = catalogue[(index + 5) % len(catalogue)]
        in_segment = reason == "popular_in_segment"
        name = ("customers like you", "和你相似的顾客") if in_segment else (evidence["title"],) * 2
        rows.append(
            {
                "user_id": user_id(n),
                "surface": "home",
                "rank": rank,
                "recommendation_id": f"{day}-{n:03}-{rank:02}",
                "item_id": catalogue[index]["item_id"],
                "score": 2.0 / rank,
                "probability": round(0.28 / rank**1.4, 6),
                "candidate_source": source,
                "reason_code": reason,
                "reason_text": english.format(name[0]),
                "reason_text_zh": chinese.format(name[1]),
                "evidence_type": "segment" if in_segment else "item",
                "evidence_id": RULE_SEGMENTS[n % 6]
                if in_segment
                else (catalogue[index] if reason == "buy_again" else evidence)["item_id"],
                "contribution": round(1.4 / rank, 4),
                "is_exploration": rank == 12,
                "is_promoted": rank == 9,
                "propensity": 0.25 if rank == 12 else 1.0,
                **run,
            }
        )
    return rows


def _explained(rec: dict[str, Any], catalogue: Rows, run: dict[str, Any]) -> Rows:
    evidence = [
        {
            "kind": "evidence",
            "reason_rank": 1,
            "reason_code": rec["reason_code"],
            "evidence_type": rec["evidence_type"],
            "evidence_id": rec["evidence_id"],
            "contribution": rec["contribution"],
            "scale": "score",
        },
        {
            "kind": "evidence",
            "reason_rank": 2,
            "reason_code": "because_you_viewed",
            "evidence_type": "item",
            "evidence_id": catalogue[rec["rank"]]["item_id"],
            "contribution": rec["contribution"] / 4,
            "scale": "score",
        },
    ]
    parts = [
        {
            "kind": "part",
            "reason_rank": rank,
            "reason_code": code,
            "evidence_type": "part",
            "evidence_id": name,
            "contribution": rec["score"] * share,
            "scale": "score",
        }
        for rank, (code, name, share) in enumerate(
            (("item_to_item", "item_to_item", 0.7), ("text", "text", 0.2), ("base", "base", 0.1)), start=1
        )
    ]
    return [{"recommendation_id": rec["recommendation_id"], **row, **run} for row in (*evidence, *parts)]


def _filtered(n: int, ranked: Rows, catalogue: Rows, run: dict[str, Any]) -> Rows:
    shown = {row["item_id"] for row in ranked}
    others = [item["item_id"] for item in catalogue if item["item_id"] not in shown]
    kinds = [
        ("already_bought", "removed", others[0], 2, None, "bought 3 days ago; bought again by 4% only"),
        ("dismissed", "removed", others[1], 5, None, "dismissed on 2026-10-20"),
        ("brand_cap", "moved_down", ranked[12]["item_id"], 4, 13, "5 of brand before it, 4 allowed"),
        ("exploration", "inserted", ranked[11]["item_id"], None, 12, "drawn 1 of 4"),
        ("pinned", "moved_up", ranked[2]["item_id"], 31, 3, "rule of the shop"),
    ]
    return [
        {
            "user_id": user_id(n),
            "surface": "home",
            "item_id": item,
            "rule": rule,
            "action": action,
            "rule_id": "r-11-11" if rule == "pinned" else None,
            "rule_version": "rules-1",
            "rank_before": before,
            "rank_after": after,
            "detail": detail,
            **run,
        }
        for rule, action, item, before, after, detail in kinds
    ]


def _page(n: int, ranked: Rows, catalogue: Rows, day: date, run: dict[str, Any]) -> Rows:
    modules: list[tuple[str, str, str, list[dict[str, Any]]]] = []
    if n % 2:
        modules.append(
            (
                "hero_campaign",
                "Campaign of the day",
                "今日活动",
                [
                    {
                        "content_type": "campaign",
                        "content_id": "c012",
                        "reason_code": "campaign",
                        "reason_text": "Autumn care week: 20% off baby care",
                        "reason_text_zh": "秋日呵护周：母婴八折",
                        "evidence_type": "category",
                        "evidence_id": "母婴",
                        "expected_value": 0.4,
                    }
                ],
            )
        )
    listed = [
        {
            "content_type": "item",
            "content_id": r["item_id"],
            "expected_value": r["probability"] * 0.6,
            **{
                k: r[k]
                for k in (
                    "recommendation_id",
                    "reason_code",
                    "reason_text",
                    "reason_text_zh",
                    "evidence_type",
                    "evidence_id",
                    "probability",
                    "is_exploration",
                    "propensity",
                )
            },
        }
        for r in ranked
    ]
    modules += [
        ("for_you", "For you", "为你推荐", listed[:10]),
        ("buy_again", "Time for more?", "该补货了", listed[10:12]),
        ("because_you_viewed", "Because you looked at …", "看了又看", listed[12:17]),
        (
            "price_drops",
            "Now cheaper",
            "降价好物",
            [
                {
                    "content_type": "item",
                    "content_id": catalogue[(n + 60 + k) % 120]["item_id"],
                    "reason_code": "price_drop",
                    "reason_text": "20% less than last week",
                    "reason_text_zh": "比上周便宜 20%",
                    "evidence_type": "price",
                    "evidence_id": "25.00/20.00",
                    "probability": 0.004,
                    "expected_value": 0.001,
                }
                for k in range(3)
            ],
        ),
        (
            "ad",
            "Advertisement",
            "广告",
            [
                {
                    "content_type": "ad",
                    "content_id": "ad-1",
                    "reason_code": "ad",
                    "reason_text": "A place kept for an ad",
                    "reason_text_zh": "预留广告位",
                    "expected_value": 0.0,
                }
            ],
        ),
    ]
    rows = []
    for module_rank, (module, title, title_zh, contents) in enumerate(modules, start=1):
        for rank, content in enumerate(contents, start=1):
            rows.append(
                {
                    "is_exploration": False,
                    "propensity": 1.0,
                    **content,
                    "user_id": user_id(n),
                    "slot": len(rows) + 1,
                    "module": module,
                    "module_rank": module_rank,
                    "rank": rank,
                    "module_title": title,
                    "module_title_zh": title_zh,
                    **run,
                }
            )
    return rows


def _metrics(day: date, rng: np.random.Generator, users: int, run: dict[str, Any]) -> Rows:
    base = {"recall": 0.42, "ndcg": 0.34, "coverage": 0.88}
    return [
        {
            "model": "learned",
            "segment": segment,
            "metric": metric,
            "k": k,
            "value": (value := base[metric] * scale),
            "value_low": value - 0.03,
            "value_high": value + 0.03,
            "baseline_model": "popularity",
            "baseline_value": value / 5,
            "users": users,
            "protocol": "days_after",
            "measured_from": day + timedelta(days=1),
            "measured_to": day + timedelta(days=7),
            **run,
        }
        for metric in base
        for k in (10, 20)
        for segment in ("all", "heavy", "new")
        for scale in (float(1 + rng.normal(0, 0.03) + (k - 10) / 100),)
    ]


def publish_day(home: Path, as_of: str, run_id: str, number: int = 0, users: int = USERS, **changed: Rows) -> None:
    """Publish one day into `home`/lake and `home`/warehouse.duckdb, as the last step of a run does it."""
    generated_at = datetime(2026, 11, 1, 6) + timedelta(hours=number)
    write_candidates(home / "lake", {**tables(as_of, run_id, generated_at, users), **changed})
    results = [
        check_result(),
        check_result(
            table_name="home_recommendations",
            check_name="No list is short",
            stage="tables",
            status="warning",
            severity="warning",
            observed="1 of 60 lists has 19 items",
            threshold="20 items",
        ),
    ]
    write_check_results(home / "lake", as_of, run_id, results)
    publish(home / "lake", as_of, run_id, home / "warehouse.duckdb", generated_at, "c" * 64)
