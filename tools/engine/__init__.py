"""Real Docker Engines for the project's own tests, on a bare Debian machine.

Run as ``python3 tools/engine COMMAND`` (see :mod:`engine.cli`). Only the standard
library is used: the script has to work before anything of the project is installed.

Imports go one way, from top to bottom::

    cli
    status  images  busybox  registry    what the commands do
    lifecycle                            starts and stops one flavour
    toolsets  emulators  tree  programs  made of Debian packages
    apt  debs  daemon  docker            one outside thing each
    network  processes  oci
    flavours  layout  sources            values
    locks  shell
    errors
"""
