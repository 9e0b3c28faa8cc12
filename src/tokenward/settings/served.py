"""What is served, as the settings say it: providers with their credentials, models with prices."""

from collections.abc import Mapping

from msgspec.structs import asdict

from tokenward.pipeline.interfaces import Provider
from tokenward.prices.book import PriceBook
from tokenward.prices.overrides import PriceOverride
from tokenward.settings.references import resolve_secret
from tokenward.settings.shape import Settings


def price_book(settings: Settings) -> PriceBook:
    """Public prices and the operator's own. Raises SettingsError for a price a thousandfold off."""
    overrides = {model: PriceOverride(**asdict(price)) for model, price in settings.prices.items()}
    return PriceBook(overrides)


def providers(
    settings: Settings, environ: Mapping[str, str], book: PriceBook
) -> tuple[Provider, ...]:
    """The configured providers with their credentials. Raises SettingsError for a missing one."""
    return tuple(
        Provider(
            name=each.name,
            dialect=each.dialect,
            base_url=each.base_url.rstrip("/"),
            credential=resolve_secret(
                each.credential, settings.base_dir, environ, f"provider {each.name}"
            ),
            models=each.models,
            prices_from=each.prices_from or book.source_for(each.name, each.dialect, each.base_url),
            path_prefix=each.path_prefix,
            service_tiers=each.service_tiers,
            stored_objects=each.stored_objects,
            default_model=each.default_model,
        )
        for each in settings.providers
    )
