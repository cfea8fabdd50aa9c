"""One network namespace for each node, joined by a bridge. nftables drops packets.

Clients and the proxy are outside the nodes' namespaces, at the bridge. Faults are rules in the
namespace of the receiver, and affect only nodes: clients still reach every node.
"""
import subprocess

PORT = 50051
OUTSIDE = "10.77.0.254"


def address(node_id):
    return f"10.77.0.{node_id}"


def run(*command, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n{stdin or ''}")
    return done.stdout


class Network:
    """Namespaces n1, n2, ... They must run inside a namespace of their own (isolate.py)."""

    def __init__(self, count, proxy_port=None):
        """`proxy_port(source, destination)`: connections between nodes are sent to this port outside
        instead. None: connections are direct."""
        self.ids = list(range(1, count + 1))
        run("ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "bridge")
        run("ip", "link", "set", "bridge", "up")
        for i in self.ids:
            run("ip", "netns", "add", f"n{i}")
            run("ip", "link", "add", f"v{i}", "type", "veth", "peer", "name", "eth0", "netns", f"n{i}")
            run("ip", "link", "set", f"v{i}", "master", "bridge", "up")
            run("ip", "-n", f"n{i}", "addr", "add", f"{address(i)}/24", "dev", "eth0")
            run("ip", "-n", f"n{i}", "link", "set", "eth0", "up")
            run("ip", "-n", f"n{i}", "link", "set", "lo", "up")
            if proxy_port:
                self._redirect(i, proxy_port)
        self.cuts = set()  # (source, destination): nothing passes
        self.drop_percent = 0  # of the packets between nodes
        self.apply()

    def close(self):
        for i in self.ids:
            run("ip", "link", "del", f"v{i}")  # at once; with its namespace it would go later
            run("ip", "netns", "del", f"n{i}")
        run("ip", "link", "del", "bridge")

    @staticmethod
    def enter(node_id):
        """The words before a command that runs in the namespace of this node. (Not `ip netns exec`: the
        process would get a mount namespace of its own, in which disks stay mounted that are unmounted
        here.)"""
        return ["nsenter", f"--net=/run/netns/n{node_id}"]

    def _nft(self, node_id, rules):
        run(*self.enter(node_id), "nft", "-f", "-", stdin=rules)

    def _redirect(self, node_id, proxy_port):
        lines = "\n".join(
            f"ip daddr {address(j)} tcp dport {PORT} dnat to {OUTSIDE}:{proxy_port(node_id, j)}"
            for j in self.ids if j != node_id)
        self._nft(node_id, "table ip to_proxy {\n chain output {\n type nat hook output priority -100\n"
                           f"{lines}\n }}\n}}\n")

    def apply(self):
        """Sets the rules of all nodes as `cuts` and `drop_percent` say."""
        for j in self.ids:
            lines = [f"ip saddr {address(i)} drop" for i in self.ids if (i, j) in self.cuts]
            if self.drop_percent:
                peers = ", ".join(address(i) for i in self.ids if i != j)
                lines.append(f"ip saddr {{ {peers} }} numgen random mod 100 < {self.drop_percent} drop")
            self._nft(j, "table inet faults\nflush table inet faults\n"
                         "table inet faults {\n chain input {\n"
                         " type filter hook input priority 0; policy accept;\n "
                         + "\n ".join(lines) + "\n }\n}\n")

    def isolate(self, node_id):
        """Cuts a node off from all others, in one step; until heal()."""
        peers = ", ".join(address(i) for i in self.ids if i != node_id)
        self._nft(node_id, "table inet faults {\n chain input {\n"
                           f" ip saddr {{ {peers} }} drop\n }}\n"
                           " chain output {\n type filter hook output priority 0; policy accept;\n"
                           f" ip daddr {{ {peers} }} drop\n }}\n}}\n")

    def heal(self):
        self.cuts = set()
        self.drop_percent = 0
        self.apply()

    def cut(self, sources, destinations):
        """Cuts the direction from the first nodes to the second. The other direction is untouched."""
        self.cuts |= {(i, j) for i in sources for j in destinations if i != j}
        self.apply()

    def keep_only(self, groups):
        """Keeps only links between nodes that share a group."""
        def together(i, j):
            return any(i in group and j in group for group in groups)
        self.cuts = {(i, j) for i in self.ids for j in self.ids if i != j and not together(i, j)}
        self.apply()
