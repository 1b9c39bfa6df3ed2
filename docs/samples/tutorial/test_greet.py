def test_greets(dockerbin_binary):
    assert dockerbin_binary.run("you").stdout == "Hello you!\n"


def test_says_how_it_is_used(dockerbin_binary):
    result = dockerbin_binary.run()
    assert result.returncode == 2
    assert result.stderr == "usage: greet NAME\n"


def test_knows_its_version(dockerbin_binary):
    assert dockerbin_binary.run("--version").stdout == "greet 1.0\n"


def test_can_be_released(dockerbin):
    program = dockerbin.binary()
    program.assert_static()
    program.assert_stripped()
    program.assert_max_size("5 MiB")
