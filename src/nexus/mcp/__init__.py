"""The MCP half: every configured MCP server behind one endpoint.

`service` is what a client asks, `toolbox` what one identity may see, `upstream` one server behind us, `pool` all of them,
`index` the search. Only `front` and `link` know the SDK; nothing here knows Starlette.
"""
