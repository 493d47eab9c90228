"""How traits are said, in English and in Chinese: one table for who writes and for who checks."""

from __future__ import annotations

STAGES = {
    "visitor": ("a visitor who has not bought yet", "尚未购买的访客"),
    "new": ("a new customer", "新顾客"),
    "active": ("an active customer", "活跃顾客"),
    "loyal": ("a loyal customer", "忠实顾客"),
    "at_risk": ("a customer at risk of leaving", "有流失风险的顾客"),
    "dormant": ("a customer who has gone quiet", "沉寂已久的顾客"),
}
SOMEBODY = ("a user", "一位用户")
#: Who has bought, but of whom it is not sure whether he or she still comes.
BUYER = ("a customer", "一位顾客")
#: Name of a taste segment that no category sets apart.
ALL_ROUND = ("All-round shoppers", "什么都逛的顾客")
PRICES = {
    "low": ("the lower end of prices", "价位偏低"),
    "middle": ("middling prices", "价位居中"),
    "high": ("the higher end of prices", "价位偏高"),
}
WEEKDAYS = {
    "monday": ("Mondays", "周一"),
    "tuesday": ("Tuesdays", "周二"),
    "wednesday": ("Wednesdays", "周三"),
    "thursday": ("Thursdays", "周四"),
    "friday": ("Fridays", "周五"),
    "saturday": ("Saturdays", "周六"),
    "sunday": ("Sundays", "周日"),
}
PLATFORMS = {
    "web": ("the web", "网页"),
    "ios": ("the iOS app", "iOS应用"),
    "android": ("the Android app", "安卓应用"),
    "mini_program": ("the mini program", "小程序"),
}
MOODS = {
    "positive": ("mostly positive reviews", "评价多为好评"),
    "mixed": ("mixed reviews", "评价好坏参半"),
    "negative": ("mostly negative reviews", "评价多为差评"),
}
BARGAINS = ("below the usual price", "低于平时价格")
NOVELTY = ("new to the catalogue", "新上架")
TOO_LITTLE = ("too little is known yet to say more", "目前了解甚少，暂无法多说")
#: Trait: its values in words. What is said of a user has to be the user's own value.
SAID = {
    "lifecycle_stage": STAGES,
    "price_level": PRICES,
    "active_weekday": WEEKDAYS,
    "platform": PLATFORMS,
    "review_sentiment": MOODS,
}
