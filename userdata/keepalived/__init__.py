"""keepalived and the program that moves the Elastic IP, on load balancers that share one."""
