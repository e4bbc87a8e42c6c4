"""What people do in the workbench: define, add scans, label, adapt, read, evaluate; each with who may do it.

The web page and the HTTP API call these functions and compute nothing themselves. Slow work becomes a job
(`workbench.store.jobs`) that a worker process does (`workbench.service.worker`).
"""
