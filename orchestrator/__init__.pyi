from orchestrator.api.hub import hf_hub_download as hf_hub_download
from orchestrator.api.hub import snapshot_download as snapshot_download
from orchestrator.api.models import plan as plan
from orchestrator.api.models import pull as pull
from orchestrator.system.signals import Stop as Stop

__version__: str
