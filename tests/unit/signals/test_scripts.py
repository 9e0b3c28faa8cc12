"""In which script a caller writes."""

import pytest

from tokenward.signals.scripts import LETTERS_MIN, SAMPLE_CHARS, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Please write a poem about the sea.", "latin"),
        ("Bitte schreibe ein Gedicht über größere Öfen.", "latin"),
        ("Hãy viết một bài thơ về những bông hoa đẹp.", "latin"),
        ("Напиши, пожалуйста, стихотворение о море.", "cyrillic"),
        ("请用中文写一首关于大海和天空的长诗给我的老朋友看看吧", "han"),
        ("海についての短い詩を日本語で書いてください。お願いします", "japanese"),
        ("바다에 대한 시를 한국어로 길고 아름답게 써 주세요 부탁합니다", "hangul"),
        ("اكتب قصيدة طويلة عن البحر والسماء من فضلك", "arabic"),
        ("כתוב שיר ארוך על הים ועל השמיים בבקשה", "hebrew"),
        ("कृपया समुद्र के बारे में एक लंबी कविता लिखिए और सुनाइए", "devanagari"),
        ("Γράψε ένα ποίημα για τη θάλασσα και τον ουρανό", "greek"),
        ("เขียนบทกวีเกี่ยวกับทะเลและท้องฟ้าให้หน่อยนะครับ", "thai"),
        ("ꭰꭱꭲꭳꭴꭵꭶꭷꭸꭹꭺꭻꭼꭽꭾꭿꮀꮁꮂꮃꮄ", ""),
        ("Привет, what does this function of mine return and why?", "latin"),
    ],
)
def test_the_script_of_most_letters_is_named(text: str, script: str) -> None:
    assert script_of([text]) == script


def test_a_few_letters_say_nothing() -> None:
    for text in ("", "hi", "привет", "1234567890 " * 20, "x" * (LETTERS_MIN - 1), "🌊" * 40):
        assert script_of([text]) == ""
    assert script_of([]) == ""
    assert script_of(["x" * LETTERS_MIN]) == "latin"


def test_short_texts_count_together() -> None:
    assert script_of(["привет", "как дела", "пока", "хорошо"]) == "cyrillic"


def test_only_the_beginning_is_looked_at() -> None:
    assert script_of(["x" * SAMPLE_CHARS, "д" * 10_000]) == "latin"
    assert script_of(["д" * SAMPLE_CHARS + "x" * 10_000_000]) == "cyrillic"


def test_half_a_surrogate_pair_is_no_letter() -> None:
    assert script_of(["\ud800" * 100]) == ""
