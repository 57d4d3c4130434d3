"""The objects of a server one by one, under the names that connectors and simvue-cli import.

`simvue.Run` and `simvue.Client` are for simulations and for people; this is for programs that
create, change and delete single objects.  Nothing of ours imports it.
"""
