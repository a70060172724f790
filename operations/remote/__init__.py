"""Programs that run on a server, sent to it as text: standard library and PyMySQL only, no other import."""
