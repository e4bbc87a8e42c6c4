"""The web UI: a page for one machine, served on its loopback address.

Started by ``workbench ui``, imported by nothing else. Gradio's telemetry is switched off here, before
anything of it can be imported.
"""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
