"""The MCP half: every configured MCP server behind one endpoint.

`service` is what a client asks, `toolbox` what one caller may see, `upstream` one server behind us, `pool` all of them,
`index` the search. Only `front` speaks through the SDK; the rest takes its errors and constants.
"""
