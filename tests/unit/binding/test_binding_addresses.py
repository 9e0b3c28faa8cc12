import pytest

from tokenward.binding.addresses import PublicUrls, normal

PATH = "/v1/chat/completions"
GEMINI = "/v1beta/models/gemini-2.5-flash:generateContent"
URLS = PublicUrls(("https://guard.example", "http://127.0.0.1:8484/", "https://[2001:db8::1]/llm/"))


@pytest.mark.parametrize(
    "htu",
    [
        "https://guard.example" + PATH,
        "https://guard.example:443" + PATH,
        "https://guard.example:" + PATH,
        "HTTPS://Guard.EXAMPLE" + PATH,
        "http://127.0.0.1:8484" + PATH,
        "https://[2001:db8::1]/llm" + PATH,
        "https://[2001:DB8::1]:443/llm" + PATH,
        "https://guard.example/v1/chat/%63ompletions",
        "https://guard.example/%761/chat/completion%73",
        "https://guard.example" + PATH + "?a=b#c",
        "https://guard.example" + PATH + "#c",
        "https://guard.example" + PATH + "?",
    ],
)
def test_an_address_is_ours_however_it_may_be_written(htu: str) -> None:
    assert URLS.is_at(htu, PATH)


@pytest.mark.parametrize(
    "htu",
    [
        "",
        PATH,
        "guard.example" + PATH,
        "//guard.example" + PATH,
        "https://" + PATH,
        "https://guard.example",
        "https://guard.example/",
        "https://guard.example" + PATH + "/",
        "https://guard.example/" + PATH,
        "https://guard.example/v1/CHAT/completions",
        "https://guard.example/v1/./chat/completions",
        "https://guard.example/v1/x/../chat/completions",
        "https://guard.example/v1%2Fchat/completions",
        "https://guard.example/v1/chat/completions%00",
        "https://guard.example/llm" + PATH,
        "https://[2001:db8::1]" + PATH,
        "https://guard.example:8443" + PATH,
        "https://guard.example:80" + PATH,
        "https://guard.example:0" + PATH,
        "https://guard.example:99999" + PATH,
        "https://guard.example:x" + PATH,
        "http://guard.example" + PATH,
        "http://guard.example:443" + PATH,
        "ftp://guard.example" + PATH,
        "javascript:https://guard.example" + PATH,
        "https://guard.example." + PATH,
        "https://guard.example.attacker.example" + PATH,
        "https://attacker.example/https://guard.example" + PATH,
        "https://attacker.example?https://guard.example" + PATH,
        "https://guard.example@attacker.example" + PATH,
        "https://user:pw@guard.example" + PATH,
        "https://@guard.example" + PATH,
        "https://guard.example\\@attacker.example" + PATH,
        "https://guard.example" + PATH.replace("/", "\\"),
        " https://guard.example" + PATH,
        "https://guard.example" + PATH + "\n",
        "https://guard\t.example" + PATH,
        "https://gu\u0430rd.example" + PATH,
        "https://[guard.example" + PATH,
        "https://guard.example" + PATH + "x" * 5000,
    ],
)
def test_any_other_address_is_not_and_none_is_a_fault(htu: str) -> None:
    assert not URLS.is_at(htu, PATH)


def test_a_colon_in_a_path_is_not_its_encoding_and_hex_has_no_case() -> None:
    base = "https://guard.example"
    assert URLS.is_at(base + GEMINI, GEMINI)
    assert not URLS.is_at(base + GEMINI.replace(":", "%3A"), GEMINI)
    assert URLS.is_at(base + "/v1/models/a%3ab", "/v1/models/a%3Ab")
    assert not URLS.is_at(base + "/v1/models/a:b", "/v1/models/a%3Ab")
    assert not URLS.is_at(base + "/v1/models/a%2541", "/v1/models/aA"), "decoded once, not twice"


def test_a_guard_that_knows_no_address_of_its_own_takes_no_proof() -> None:
    assert not PublicUrls().is_at("https://guard.example" + PATH, PATH)
    assert PublicUrls().issuer == ""
    assert URLS.issuer == "https://guard.example"


def test_the_addresses_can_be_learned_later() -> None:
    urls = PublicUrls()
    urls.set(("http://127.0.0.1:5/",))
    assert urls.is_at("http://127.0.0.1:5" + PATH, PATH)
    with pytest.raises(ValueError):
        urls.set(("not an address",))
    assert urls.issuer == "http://127.0.0.1:5", "as before"


def test_the_normal_form_is_a_fixed_point() -> None:
    for url in ("HTTP://A:80", "https://a:443/%7e%3a?b#c", "http://[::1]:8080/x"):
        assert normal(normal(url)) == normal(url)
    assert normal("HTTPS://A:443/%7e%3a?b#c") == "https://a/~%3A"
