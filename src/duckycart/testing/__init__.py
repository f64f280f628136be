"""A kit to test carts and servers with: what stands in for the other side, and for the network between the two.

| module | |
|---|---|
| `clock` | a clock that only the test moves |
| `waiting` | `until`: wait for a condition, and fail in time |
| `endpoint` | where a server listens, and from which address it is called |
| `cart` | doubles of a cart, named after what they do with their connection |

A double knows the documented surface of a server and nothing else, so any server can be tested with it.
`docs/testing.md` shows how a cart is tested against a server, and a server with these doubles. Every name without a
leading underscore is public.
"""
