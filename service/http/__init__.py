"""HTTP: connections, requests and their answers, keys, the access log, traces.

connection    uvicorn's protocol, with bounds on time and number
fair_accept   connections shared among processes
exchange      one request and its answer on the wire
body          a request's body
coalescing    an answer in one write
keys          who may ask, and how often
access_log    a line per request
insides       what is used of uvicorn beyond its interface
observability what is counted, logged and traced of a request
tracing       W3C trace context
throttling    pages that are expensive to make
"""
