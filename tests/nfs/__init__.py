"""A real NFS under the board: a server and two clients, in a virtual machine, as this kernel may have no NFS.

    make nfs            or: python -m tests.nfs.guest

`guest.py` makes the machine (Debian's kernel and packages, once, kept in .venv/nfs) and starts it with this checkout;
`inside.py` is what it runs. The server exports an ext4 disk; each client is a network namespace with an address and a
host name of its own, so the server knows two clients, and nothing that one remembers is known to the other.

| variable | meaning | otherwise |
|---|---|---|
| GRIN_NFS_TOKENS | tokens that are raced for; a quarter of them on mounts that are not recommended | 1000 |
| GRIN_NFS_BOOKS, GRIN_NFS_KILLS, GRIN_NFS_PAUSES | size of the storm | 100, 24, 2 |
| GRIN_NFS_SEED | the storm's dice | 1 |
| GRIN_NFS_MOUNTS | which mounts are raced on: recommended, defaults, v3 | all three |
| GRIN_NFS_ACCEL | what QEMU may use, as in `kvm:tcg` | tcg: slow, and everywhere |
| GRIN_NFS_SECONDS | after so long the machine is ended | 1200 |
"""
