"""A made-up shop of any size, with known truth: all seven feeds, in Chinese and English, clean and dirty.

    python -m feeds.prepare --adapter simulated --feeds var/simulated/feeds --truth var/simulated/truth
        --users 2000 --seed 7 --as-of 2026-10-31 --lake var/simulated/lake

One dial, --users: the number reached 100 days after the opening (2026-08-01). Items (600 at 2,000 users, with the
square root), campaigns and volume follow. At the default size a day has some 4,000 events.

What happens in it
  items       8 category trees (some named in Chinese, some in English) with 36 leaves; brands; titles and
              descriptions made of styles ("复古", "Minimalist"), the same styles that tastes are about; prices
              log-normal by category, repriced every 28 days, lower in a discount; stock changes weekly, at times
              to 0; new items every day, a quarter retires one day                            (catalogue.py)
  users       tastes (a point in taste space), liked categories, price sensitivity, hours, platform, language;
              new ones every day; new, active, fading, gone; consent yes, no, empty or withdrawn; a few ask to be
              forgotten and are not seen again                                                 (people.py)
  choice      nested logit: a category by preference and season, then an item by taste, brand and style, appeal,
              quality, language and price                                                      (choice.py)
  purchases   own wishes; consumables again with the rhythm of their category; the case after the phone, more
              likely of the same brand or style                                                (history.py)
  visits      search or home page, impressions, clicks, views, favorites, carts, purchases, dismissals; an eighth
              is not logged in (empty user_id); one platform sends local time with its offset  (funnel.py)
  after it    returns, ratings, and reviews whose tone follows how content the buyer is        (satisfaction.py)
  campaigns   told to a random part of those who agreed; the effect depends on the user's type (campaigns.py)
  machines    crawlers and click bots: accounts like any other but for pace and volume         (bots.py)
  dirt        bad rows of seven kinds, and late ones, at stated rates, each noted               (dirt.py)

Formats: events, campaigns and reviews are JSON Lines; users, contacts and erasure requests CSV; items Parquet.
items, users and campaigns are told as changes: new and changed rows only (everything on the opening day).

How it scales. A file is a function of (seed, users, day, shard), from counter-based random streams keyed by
purpose, shard and day (randomness.py). A shard is at most 20,000 users of the target size; shards are made one
after the other, so memory does not follow the shop's size. A day made alone equals the same day made in a row:
what the past puts on a day (a repeat, a return, a late row) is redrawn from the days before, at most 90 of them.

The truth lies beside the feeds, where no step but forgetting reads it: tables for people (truth_files.py), and
`truth.Truth`, which computes the expected purchases of any user after any day, from the code that made the shop.

What it is not: there is no competition between shops, no stock consumed by sales, no word of mouth, and the
published recommendations do not act on it; recommendation_id names the shop's own home list of before.
"""
