"""A bridge of its own for each further engine, and the rules that let it out.

Engines on one machine must not share ``docker0``: the one that stops takes it away. And
each that manages iptables empties the others' chains, so a further engine gets its rules
from here and manages none.
"""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError
from engine.shell import run

if TYPE_CHECKING:
    from collections.abc import Iterable

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_CANDIDATES = [ipaddress.IPv4Network(f"10.231.{third}.0/24") for third in range(1, 255)]


def ensure_bridge(bridge: str, label: str) -> bool:
    """Make the bridge with an address that nothing else uses; say if it was missing."""
    present = (Path("/sys/class/net") / bridge).exists()
    if not present:
        network = free_network(parse_networks(Path("/proc/net/route").read_text(encoding="ascii")))
        run(["ip", "link", "add", bridge, "type", "bridge"])
        run(["ip", "address", "add", f"{network[1]}/{network.prefixlen}", "dev", bridge])
        run(["ip", "link", "set", bridge, "alias", label])
        run(["ip", "link", "set", bridge, "up"])
    for rule in rules(bridge, network_of(bridge)):
        table, chain, *match = rule
        if run(["iptables", "-w", "-t", table, "-C", chain, *match], check=False).returncode != 0:
            run(["iptables", "-w", "-t", table, "-I", chain, *match])
    if _FORWARDING.read_text(encoding="ascii").strip() != "1":
        _FORWARDING.write_text("1\n", encoding="ascii")
    return not present


def remove_bridge(bridge: str) -> bool:
    """Remove the bridge and its rules; say if it was there."""
    if not (Path("/sys/class/net") / bridge).exists():
        return False
    with suppress(EngineError):
        for table, chain, *match in rules(bridge, network_of(bridge)):
            run(["iptables", "-w", "-t", table, "-D", chain, *match], check=False)
    run(["ip", "link", "delete", bridge], check=False)
    return True


def rules(bridge: str, network: str) -> list[list[str]]:
    """Return the bridge's rules: table, chain, and what follows."""
    return [
        # Another engine may have set the policy of FORWARD to DROP.
        ["filter", "FORWARD", "-i", bridge, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-o", bridge, "-j", "ACCEPT"],
        ["nat", "POSTROUTING", "-s", network, "!", "-o", bridge, "-j", "MASQUERADE"],
    ]


def network_of(bridge: str) -> str:
    """Return the network of a bridge's address."""
    done = run(["ip", "-json", "-4", "address", "show", "dev", bridge])
    links: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    for address in (address for link in links for address in link.get("addr_info", [])):
        interface = f"{address['local']}/{address['prefixlen']}"
        return str(ipaddress.IPv4Interface(interface).network)
    message = f"the bridge {bridge} has no address"
    raise EngineError(message, f"remove it with `ip link delete {bridge}`, then try again")


def parse_networks(route: str) -> list[ipaddress.IPv4Network]:
    """Read the networks in ``/proc/net/route``; the default route is none."""
    networks = []
    for line in route.splitlines()[1:]:
        fields = line.split()
        destination, mask = (int(fields[column], 16).to_bytes(4, "little") for column in (1, 7))
        if any(mask):
            prefix = int.from_bytes(mask, "big").bit_count()
            networks.append(ipaddress.IPv4Network((destination, prefix), strict=False))
    return networks


def free_network(used: Iterable[ipaddress.IPv4Network]) -> ipaddress.IPv4Network:
    """Return the first network that overlaps none of those in use."""
    taken = list(used)
    for candidate in _CANDIDATES:
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    message = "no private network is free for the engine's bridge"
    raise EngineError(message, "free one of 10.231.1.0/24 to 10.231.254.0/24")
