# SPDX-License-Identifier: LGPL-2.1-or-later
"""Kinds of rows that are about what one message does to the others, a file each."""

from scenarios.connections import Connections
from scenarios.jump import Jump
from scenarios.late import Late
from scenarios.neighbour import Neighbour
from scenarios.rare import Rare
from scenarios.threaded import Threaded
from scenarios.width import Width

ALL = (Rare, Jump, Late, Neighbour, Connections, Width, Threaded)
