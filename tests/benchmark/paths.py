# SPDX-License-Identifier: LGPL-2.1-or-later
"""Configurations of the measured log paths."""

from traffic import KEY_TEMPLATE, OUTPUT_TEMPLATE

# None of these matches, each has to read the message to find that out.
_PATTERNS = (
    r"user[= ]\w+ .*from (\d{1,3}\.){3}\d{1,3} port \d+ refused",
    r"[a-z]+=[0-9a-f]{8}-[0-9a-f]{4}",
    r"(GET|POST|PUT) \S+ HTTP/[12]\.[01] status=5\d\d",
    r"\d{4}-\d{2}-\d{2}T",
    r"status=5\d\d",
)

_FILTER = "  filter { %s };" % " and ".join(
    f'not match("{pattern}" value("MESSAGE"))'.replace("\\", "\\\\") for pattern in _PATTERNS)


def parallelize(workers, keyed, prefetch=None):
    """The element as a log path takes it, this module's and without prefetch the host's own alike."""
    key = f' partition-key("{KEY_TEMPLATE}")' if keyed else ""
    waiting = f" prefetch({prefetch})" if prefetch else ""
    return f"parallelize(partitions({workers}){key}{waiting});"


def _fetch_limit(number):
    """None: as it is when a configuration does not say anything."""
    return f" log-fetch-limit({number})" if number else ""


def file_source(path, window, fetch_limit=None):
    return (f'file("{path}" log-iw-size({window}){_fetch_limit(fetch_limit)} follow-freq(0.01)'
            ' keep-hostname(yes));')


def tcp_source(port, window, fetch_limit=None):
    return (f'syslog(ip("127.0.0.1") port({port}) transport("tcp") max-connections(1)'
            f' log-iw-size({window}){_fetch_limit(fetch_limit)} keep-hostname(yes));')


def network_source(port, window, connections=1, fetch_limit=None):
    """window: of each connection."""
    return (f'network(ip("127.0.0.1") port({port}) transport("tcp") max-connections({connections})'
            f' log-iw-size({window * connections}){_fetch_limit(fetch_limit)} keep-hostname(yes) flags(expect-hostname));')


def unix_source(path, window):
    return (f'unix-stream("{path}" log-iw-size({window}) max-connections(1)'
            f' log-fetch-limit({window}) keep-hostname(yes) flags(expect-hostname));')


def file_destination(path):
    return f'file("{path}" template("{OUTPUT_TEMPLATE}"));'


def tcp_destination(port, template=OUTPUT_TEMPLATE):
    return f'network("127.0.0.1" port({port}) template("{template}") time-reopen(1));'


def config(source, destination, window, element="", filters=0, work=""):
    """A flow-controlled path.

    element: the text of parallelize(), empty for off. filters: how many filters
    of five PCRE matches each stand behind it. work: further elements behind it.
    """
    behind = "\n".join([_FILTER] * filters + ([f"  {work}"] if work else []))
    return _config(source, window, element, behind, f"destination {{ {destination} }};")


def forked_config(source, prefix, destination, others, window, element="", work=""):
    """The same, but messages whose $HOST does not have the prefix go to the destination `others`."""
    has_prefix = f'host("{prefix}" type(string) flags(prefix))'
    ends = (f"log {{ filter {{ {has_prefix} }}; destination {{ {destination} }}; flags(flow-control); }};\n"
            f"  log {{ filter {{ not {has_prefix} }}; destination {{ {others} }}; flags(flow-control); }};")
    return _config(source, window, element, f"  {work}", ends)


def _config(source, window, element, behind, ends):
    return f"""
options {{ use-dns(no); stats-freq(0); log-fifo-size({2 * window}); }};
log {{
  source {{ {source} }};
  {element}
{behind}
  {ends}
  flags(flow-control);
}};
"""
