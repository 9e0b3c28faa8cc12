"""The spine: one request through ten steps. Read `flow.py` first.

Promises: the order of the steps, all the branching, and that no step is skipped (types see to it).
Does not promise: any rule of its own; rooms compute, the flow routes.
Fails how: a refusal is answered, a fault of a store is 503, our own bug is 500; none passes.
"""
