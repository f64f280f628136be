"""Carts and servers are tested with this kit: what stands in for the other side, and for the network between the two.

| module | |
|---|---|
| `clock` | a clock that only the test moves |
| `pace` | the seconds that a double waits, real or moved |
| `waiting` | `until`: wait for a condition, and fail in time |
| `endpoint` | where a server listens, and from which address it is called |
| `cart` | a cart's connection down to its frames, and doubles named after what they do with it |
| `fielded` | a cart with the habits of those in the field: it blocks, wipes its basket, and is back at once |
| `basket`, `blockable` | what such a cart knows of its basket, and its socket |
| `crowd` | thousands of carts in one process, for measuring |
| `frames` | one end of a WebSocket, without a library's manners |
| `caller` | calls as a cart, a screen or a phone makes them |
| `relay` | a bad network: a port in front of a server that cuts, stalls, resets and loses answers |
| `furnish` | rows of a shop, in either database; for it alone the server has to be installed |

A double knows the documented surface of a server and nothing else, so any server can be tested with it.
`docs/testing.md` shows how a cart is tested against a server, and a server with these doubles. Every name without a
leading underscore is public.
"""
