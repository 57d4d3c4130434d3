"""Routes: what the wire's paths mean, one file a resource; each lists its HANDLERS.

A handler reads the request's form, calls the store once, and words the answer; success
is always 200 with a JSON body, because official clients take 201 and 204 for failures.
"""
