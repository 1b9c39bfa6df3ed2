"""The functions that a builder calls, without pytest."""

from __future__ import annotations

from dataclasses import fields

import pytest

from pytest_dockerbin import ArtifactError, BuildSpec, HookError, Hooks, Platform
from pytest_dockerbin.runner_spec import RunnerSpec

PLATFORM = Platform.parse("linux/arm64")
ARGUMENTS = {
    "configure_build": 2,
    "build_started": 2,
    "build_finished": 4,
    "verify_artifact": 2,
    "choose_runner": 2,
}


def test_without_functions_everything_stays_as_it_is(tmp_path):
    hooks = Hooks().guarded()
    spec = BuildSpec(context=tmp_path, dockerfile=tmp_path / "Dockerfile")
    assert hooks.configure_build(spec, PLATFORM) is spec
    runner = RunnerSpec.parse("qemu", base=tmp_path)
    assert hooks.choose_runner(PLATFORM, runner) is runner
    assert set(ARGUMENTS) == {field.name for field in fields(Hooks)}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_what_a_function_raises_can_be_told_to_other_processes(name):
    def fail(*_):
        raise LookupError("first\nsecond")

    hook = getattr(Hooks(**{name: fail}).guarded(), name)
    with pytest.raises(HookError) as caught:
        hook(*[None] * ARGUMENTS[name])
    assert caught.value.summary == f"the hook {name} failed: LookupError: first"
    assert "in fail" in caught.value.details
    assert caught.value.details.count("  File ") == 1  # not of what called it
    assert isinstance(caught.value.__cause__, LookupError)


@pytest.mark.parametrize("error", [ArtifactError("no"), AssertionError("no"), KeyboardInterrupt()])
def test_what_is_meant_to_be_raised_is_left_as_it_is(error):
    def refuse(*_):
        raise error

    with pytest.raises(type(error)) as caught:
        Hooks(verify_artifact=refuse).guarded().verify_artifact(None, None)
    assert caught.value is error
