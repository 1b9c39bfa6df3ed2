def test_hello(dockerbin_binary):
    assert dockerbin_binary.run(check=True).stderr == "Hello World!\n"


def test_static(dockerbin):
    dockerbin.binary().assert_static()
