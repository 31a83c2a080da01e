"""Runs the Autobahn|Testsuite's fuzzing client, with the token that the server asks for.

For Python 2.7, which the test suite needs. ``wstest --mode fuzzingclient`` would do, but for the
one header that it cannot send. Arguments: the folder with the installed test suite, and the
specification, a JSON file.
"""

import json
import os
import site
import sys

site.addsitedir(sys.argv[1])

from autobahntestsuite import choosereactor, fuzzing  # noqa: F401 - picks the reactor
from twisted.internet import reactor


class Client(fuzzing.FuzzingClientFactory):  # type: ignore[misc]
    """The fuzzing client, with one header more."""

    def setSessionParameters(self, *args, **options):  # type: ignore[no-untyped-def] # noqa: N802
        """Called by the base class, which never gives headers."""
        fuzzing.FuzzingClientFactory.setSessionParameters(self, *args, **options)
        self.headers = {"Authorization": "Bearer " + os.environ["SB3_MARIO_TOKEN"]}


with open(sys.argv[2]) as specification:  # noqa: PTH123 - Python 2.7 has no pathlib
    Client(json.load(specification))
reactor.run()
