"""Cards as they are pushed: sealed, and any edit breaks the seal."""

from __future__ import annotations

from training.hub_card import hub_card, is_edited


def test_seals() -> None:
    card = '---\nlicense: mit\n---\n\n# mine\nload_model("path/to/mine")\nload_model("path/to/mine2")\n'
    sealed = hub_card(card, "mine", "org/x")
    assert not is_edited(sealed) and is_edited(card)
    assert hub_card(sealed, "mine", "org/x") == sealed
    assert 'load_model("hf-hub:org/x")\nload_model("path/to/mine2")' in sealed
    for edited in (sealed + "\n", sealed.replace("mit", "MIT"), sealed.replace("\n", "\r\n"), "", "---\n"):
        assert is_edited(edited)
