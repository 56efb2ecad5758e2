"""`python -m nexus_agents`; as a server, for which clients wait, it goes past the command line, whose import takes longer."""

import os
import sys

if sys.argv[1:] in ([], ["server"], ["--mode=server"]):
    from nexus_agents.server.stdio import serve

    sys.exit(serve(os.environ))

from nexus_agents.cli import main

main()
