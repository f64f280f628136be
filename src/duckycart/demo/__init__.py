"""`duckycart demo`: a server, a cart and a shopper go through a whole session, each as its own real thing."""
