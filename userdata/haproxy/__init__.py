"""HAProxy: the way in on load balancers, the way to the database on application servers."""
