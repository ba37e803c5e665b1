"""lorb_adapters.store.aliases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorb.errors import InvalidInput, StoreUnavailable, UnknownVersion
from lorb_adapters.json_files import canonical_json
from lorb_adapters.store.alias_history import MAX_CHANGES
from lorb_adapters.store.aliases import MAX_ALIASES, Alias, Aliases

VERSIONS = [f"{n}-{n:012x}" for n in range(1, 8)]
EXISTING = frozenset(VERSIONS)
versions = st.sampled_from(VERSIONS)
steps = st.lists(
    st.tuples(st.sampled_from(["stable", "canary", "shadow"]), versions) | st.just(("rollback", "")),
    max_size=30,
)


def apply_steps(aliases: Aliases, steps_to_apply) -> Aliases:
    """Sets aliases and rolls back, step by step."""
    for action, version in steps_to_apply:
        if action != "rollback":
            aliases = aliases.with_alias(action, version, 0.1 if action == "canary" else None)
        elif aliases.rollback_target(EXISTING):
            aliases = aliases.rolled_back(EXISTING)
    return aliases


@settings(deadline=None)
@given(steps)
def test_aliases_read_back_as_they_were_written(drawn_steps):
    """Aliases and their history survive writing and reading the file."""
    aliases = apply_steps(Aliases(), drawn_steps).with_number(9)
    assert Aliases.parse(canonical_json(aliases.to_json())) == aliases


@settings(deadline=None)
@given(steps)
def test_a_rollback_undoes_promotions_one_by_one(drawn_steps):
    """Successive rollbacks undo stable's promotions in reverse order, whatever happens to other aliases."""
    aliases, undo = Aliases(), []
    for action, version in drawn_steps:
        if action == "rollback":
            if len(undo) < 2:
                assert aliases.rollback_target(EXISTING) is None
                continue
            undo.pop()
            aliases = aliases.rolled_back(EXISTING)
        else:
            aliases = apply_steps(aliases, [(action, version)])
            if action == "stable" and undo[-1:] != [version]:
                undo.append(version)
        assert aliases.by_name.get("stable") == (Alias(undo[-1]) if undo else None)


@settings(deadline=None)
@given(steps, versions)
def test_a_rollback_undoes_a_promotion(drawn_steps, version):
    """Promoting and rolling back leaves stable where it was."""
    before = apply_steps(Aliases(), [("stable", VERSIONS[0]), *drawn_steps])
    promoted = before.with_alias("stable", version)
    if promoted is not before:
        assert promoted.rolled_back(EXISTING).version("stable") == before.version("stable")


def test_a_rollback_skips_removed_versions():
    """A removed version is never the target of a rollback."""
    aliases = apply_steps(Aliases(), [("stable", version) for version in VERSIONS[:3]])
    assert aliases.rollback_target(EXISTING - {VERSIONS[1]}) == VERSIONS[0]
    assert aliases.rollback_target(frozenset({VERSIONS[2]})) is None


def test_a_rollback_without_an_earlier_version_fails():
    """Rolling back a first version, or a domain without stable, raises UnknownVersion."""
    with pytest.raises(UnknownVersion, match="no earlier version"):
        Aliases().rolled_back(EXISTING)
    with pytest.raises(UnknownVersion, match="no earlier version"):
        Aliases().with_alias("stable", VERSIONS[0]).rolled_back(EXISTING)


def test_the_history_is_bounded_for_each_alias():
    """Many canary changes neither grow the file without bound nor push out stable's history."""
    aliases = apply_steps(Aliases(), [("stable", VERSIONS[0]), ("stable", VERSIONS[1])])
    for i in range(MAX_CHANGES + 20):
        aliases = aliases.with_alias("canary", VERSIONS[2], 0.01 + i / 1000)
    assert len(aliases.history) == MAX_CHANGES + 2
    assert aliases.rollback_target(EXISTING) == VERSIONS[0]


def test_a_history_of_a_hostile_file_is_bounded():
    """Of a history with 50,000 rollbacks, whose trail would take minutes, only the newest changes are kept."""
    aliases = Aliases().with_alias("stable", VERSIONS[0]).to_json()
    change = {"time": "", "alias": "stable", "from": "", "to": VERSIONS[1], "rollback": True}
    history = [change | {"to": f"{number}-0123456789ab"} for number in range(1, 50_000)]
    read = Aliases.parse(canonical_json(aliases | {"history": history}))
    assert len(read.history) == MAX_CHANGES
    assert read.history[-1].to_version == "49999-0123456789ab"


def test_the_aliases_of_a_domain_are_bounded():
    """One alias more than a domain may have is refused when it is set."""
    full = Aliases({f"a{number}": Alias(VERSIONS[0]) for number in range(MAX_ALIASES)})
    assert full.with_alias("a0", VERSIONS[1]).version("a0") == VERSIONS[1]
    with pytest.raises(InvalidInput, match="the domain has 1000 aliases"):
        full.with_alias("canary", VERSIONS[0], 0.5)


def test_rollback_works_with_a_full_history():
    """With more promotions than the history holds, the latest ones can still be rolled back."""
    aliases = apply_steps(Aliases(), [("stable", VERSIONS[i % 7]) for i in range(3 * MAX_CHANGES)])
    last = 3 * MAX_CHANGES - 1
    for back in range(1, MAX_CHANGES // 2):
        aliases = aliases.rolled_back(EXISTING)
        assert aliases.version("stable") == VERSIONS[(last - back) % 7]


def test_setting_an_alias_to_its_target_changes_nothing():
    """Pointing an alias at its current target adds nothing to the history."""
    aliases = Aliases().with_alias("stable", VERSIONS[0])
    assert aliases.with_alias("stable", VERSIONS[0]) is aliases


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan"), float("inf"), None])
def test_a_new_canary_needs_a_share(share):
    """A new canary without a share above 0 and at most 1 is refused."""
    with pytest.raises(InvalidInput, match="share"):
        Aliases().with_alias("canary", VERSIONS[0], share)


def test_a_canary_keeps_its_share():
    """Moving the canary without giving a share keeps its current share."""
    aliases = Aliases().with_alias("canary", VERSIONS[0], 0.05).with_alias("canary", VERSIONS[1])
    assert aliases.by_name["canary"] == Alias(VERSIONS[1], 0.05)


def test_a_removed_alias_can_be_removed_again():
    """Removing an alias that was removed before changes nothing, so that a killed removal can be repeated."""
    ended = apply_steps(Aliases(), [("stable", VERSIONS[0]), ("canary", VERSIONS[1])]).without_alias("canary")
    assert ended.without_alias("canary") is ended


def test_an_unfinished_rollback_is_read_back():
    """An unfinished rollback and an unfinished removal survive writing and reading; ended ones leave no field."""
    rolled_back = apply_steps(Aliases(), [("stable", version) for version in VERSIONS[:3]]).with_rollback_begun(
        EXISTING
    )
    begun = rolled_back.with_removal_begun([VERSIONS[4]])
    read = Aliases.parse(canonical_json(begun.to_json()))
    assert read == begun
    assert read.with_rollback_begun(EXISTING) is read
    ended = read.with_rollback_ended().with_removal_ended([VERSIONS[4]])
    assert ended.version("stable") == VERSIONS[1]
    assert "unfinished" not in str(ended.to_json())
    assert "removing" not in ended.to_json()


def test_a_promotion_to_the_same_version_ends_an_unfinished_rollback():
    """After a killed rollback and a promotion of its target, the next rollback goes one version further back."""
    begun = apply_steps(Aliases(), [("stable", version) for version in VERSIONS[:3]]).with_rollback_begun(EXISTING)
    confirmed = begun.with_alias("stable", begun.version("stable"))
    assert confirmed.with_rollback_begun(EXISTING).version("stable") == VERSIONS[0]


def test_only_a_canary_has_a_share():
    """A share for stable is refused."""
    with pytest.raises(InvalidInput, match="only the canary"):
        Aliases().with_alias("stable", VERSIONS[0], 0.5)


@pytest.mark.parametrize("alias", ["3", "1-beta", "", "../stable", "Stable", "a" * 65])
def test_an_alias_is_a_name_without_a_leading_digit(alias):
    """An alias that could be read as a version or as a path is refused."""
    with pytest.raises(InvalidInput):
        Aliases().with_alias(alias, VERSIONS[0])


def test_an_alias_points_at_a_full_version():
    """A bare version number is refused as a target."""
    with pytest.raises(InvalidInput, match="not a full version id"):
        Aliases().with_alias("stable", "3")


def test_any_alias_but_stable_can_be_removed():
    """Removing the canary works; removing stable or an unknown alias is refused."""
    aliases = apply_steps(Aliases(), [("stable", VERSIONS[0]), ("canary", VERSIONS[1])])
    ended = aliases.without_alias("canary")
    assert set(ended.by_name) == {"stable"}
    assert (ended.history[-1].from_version, ended.history[-1].to_version) == (VERSIONS[1], "")
    with pytest.raises(InvalidInput, match="stable cannot be removed"):
        aliases.without_alias("stable")
    with pytest.raises(UnknownVersion, match="no alias 'shadow'"):
        aliases.without_alias("shadow")


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ({"stable": {"version": "../x"}}, "aliases.stable.version"),
        ({"9": {"version": VERSIONS[0]}}, "begins with a digit"),
        ({"canary": {"version": VERSIONS[0], "share": 7}}, "aliases.canary.share"),
        ({"canary": {"version": VERSIONS[0]}}, "aliases.canary.share"),
        ([], "aliases"),
        ({f"a{number}": {"version": VERSIONS[0]} for number in range(MAX_ALIASES + 1)}, "has 1001 entries"),
    ],
)
def test_an_invalid_alias_in_the_file_is_named(aliases, problem):
    """An invalid alias in aliases.json is refused with the file's path and the field."""
    content = canonical_json(Aliases().to_json() | {"aliases": aliases})
    with pytest.raises(StoreUnavailable, match=r"voice/aliases\.json") as caught:
        Aliases.parse(content, "voice/aliases.json")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"aliases": {"stable"', "not JSON"),
        (b'{"schema_version": 1, "aliases": {}, "history": []}', "last_number"),
        (b'{"schema_version": 2, "aliases": [], "versions": {}}', "upgrade LoRB"),
    ],
)
def test_a_broken_file_is_named(content, problem):
    """A truncated aliases.json, or one of a newer schema, is refused with its path and the reason."""
    with pytest.raises(StoreUnavailable, match=r"voice/aliases\.json") as caught:
        Aliases.parse(content, "voice/aliases.json")
    assert problem in str(caught.value)
