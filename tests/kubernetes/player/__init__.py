"""A kubelet and a Deployment controller of our own: they play rendered manifests on a container engine.

They need Linux, root, and an engine on the same machine: they mount, change owners, and ask pods at their addresses.
What a manifest says and the player does not know is refused: a field passed over in silence would prove nothing.
Knowingly left out, wherever they are read: what spreads pods over nodes (there is one), disruption budgets (nobody
evicts), the size limit of an emptyDir on disk, and in network policies the port (they hold by pod, see `network`).
"""
