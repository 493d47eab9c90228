"""Words that name nothing: no key phrase begins or ends with one."""

from __future__ import annotations

_ENGLISH = """
    a an and are as at be been bit but by can did do does down for from had has have he her here his how i if
    in into is it its just like me more much my no not of off on one only or our out over she so some than
    that the their them then there they this to too up very was we well were what when which will with would
    you your us am all any each few other own same such both after again also because before being below
    between during further good bad nice great ok okay better best really even buy bought item product
"""
_CHINESE = """
    这个 那个 这种 那种 一个 一种 没有 不是 就是 还是 可以 非常 比较 觉得 感觉 东西 商品 产品 购买
    已经 自己 我们 他们 你们 什么 怎么 这样 那样 因为 所以 但是 不过 而且 如果 还有 真的 有点 一下
    一点 不会 不能 起来 出来 收到 这款 那款 不错 很好 喜欢 还会
"""
STOP_WORDS = frozenset((_ENGLISH + _CHINESE).split())
