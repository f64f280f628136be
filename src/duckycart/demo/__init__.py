"""`duckycart demo` shows a server, a cart and a shopper in a whole session, each as its own real thing."""
