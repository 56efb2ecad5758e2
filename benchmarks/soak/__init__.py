"""A long run of mixed traffic while everything around the gateway fails: nothing may be lost, stick, grow or stay. `make soak`.

| | |
|---|---|
| `topology` | what runs: the gateway under watch, a provider, Redis, two MCP servers |
| `provider`, `vendors`, `tools` | the programs upstream, and what they say |
| `kinds`, `client`, `traffic` | what is asked, over what, by whom |
| `disturbances` | what happens meanwhile |
| `ledger`, `holding`, `report` | what became of each request, what the process holds, whether that is well |
"""
