"""What no portrait may tell: special categories of personal data (GDPR, art. 9) that a shelf's name can give away.

Actions on items of such categories count for no affinity, segment or text. The lists err on the side of silence.
"""

from __future__ import annotations

import re

_ENGLISH = (
    r"medic\w*|pharma\w*|drugs?|prescription\w*|diabet\w*|incontinence|hearing aids?|mobility aids?|"
    r"pregnan\w*|fertility|contracept\w*|sexual\w*|sex|adult (?:toys?|products?|novelt\w*)|lingerie fetish|"
    r"lgbt\w*|gay|lesbian|queer|transgender|religio\w*|bibles?|christian\w*|church|catholic|islam\w*|muslim\w*|"
    r"halal|kosher|jewish|judai\w*|hindu\w*|buddhis\w*|prayers?|politic\w*|trade unions?|"
    r"ethnic\w*|mental health|addiction\w*|smoking cessation|weight loss"
)
_CHINESE = (
    "药|医疗|医用|诊断|糖尿|失禁|助听|孕|备孕|避孕|计生|情趣|成人用品|性用品|同性|宗教|佛|圣经|基督|教会|"
    "伊斯兰|穆斯林|清真|道教|祷|政治|工会|民族|减肥|戒烟|心理咨询"
)
_PATTERN = re.compile(rf"\b(?:{_ENGLISH})\b|{_CHINESE}", re.IGNORECASE)


def is_sensitive(text: str | None) -> bool:
    """Whether a category's or a brand's name may give away health, faith, politics, origin or sexuality."""
    return bool(text) and _PATTERN.search(str(text)) is not None
