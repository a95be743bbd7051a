"""What is thought of a mount, from lines of /proc/self/mountinfo as the kernel writes them in pods and containers."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.orchestrator import mounts
from services.orchestrator.findings import MUST, OK, WARNING, Finding
from services.orchestrator.mounts import judge, mount_of, parse

NFS = "rsize=1048576,wsize=1048576,namlen=255"
SHORT = "acregmin=1,acregmax=1,acdirmin=1,acdirmax=1"
TCP = "timeo=600,retrans=2,sec=sys,clientaddr=10.0.1.7"
KUBELET = "/var/lib/kubelet/pods/5f0c1b52-7a4e-4a7e-9d06-0a4d2f9b9c11/volumes"

# As each is mounted at /data, with what is thought of it, and a word of the sentence.
LINES = {
    "nfs-as-recommended": (
        (
            f"691 640 0:52 / /data rw,relatime - nfs4 10.0.1.5:/export/grin rw,vers=4.1,{NFS},{SHORT},hard,proto=tcp,"
            f"{TCP},lookupcache=pos,local_lock=none,addr=10.0.1.5"
        ),
        OK,
        "/data, nfs4, version 4.1.",
    ),
    "nfs-without-options": (
        (
            f"691 640 0:52 / /data rw,relatime - nfs4 10.0.1.5:/export/grin rw,vers=4.2,{NFS},hard,proto=tcp,"
            f"{TCP},local_lock=none,addr=10.0.1.5"
        ),
        WARNING,
        "names looked up in vain are remembered; what was seen is believed for up to 60 s.",
    ),
    "nfs-soft": (
        (
            f"691 640 0:52 / /data rw,relatime - nfs4 10.0.1.5:/export/grin rw,vers=4.1,{NFS},{SHORT},soft,proto=tcp,"
            f"{TCP},lookupcache=pos,local_lock=none,addr=10.0.1.5"
        ),
        WARNING,
        "nfs4: soft, so a slow server looks like a broken disk.",
    ),
    "nfs-noac": (
        (
            f"691 640 0:52 / /data rw,sync,relatime - nfs4 10.0.1.5:/export/grin rw,sync,vers=4.1,{NFS},"
            f"acregmin=0,acregmax=0,acdirmin=0,acdirmax=0,hard,noac,proto=tcp,{TCP},local_lock=none,addr=10.0.1.5"
        ),
        WARNING,
        "nfs4: noac, so every look and every write waits for the server.",
    ),
    "nfs-nocto": (
        (
            f"691 640 0:52 / /data rw,relatime - nfs4 10.0.1.5:/export/grin rw,vers=4.1,{NFS},{SHORT},hard,nocto,"
            f"proto=tcp,{TCP},lookupcache=pos,local_lock=none,addr=10.0.1.5"
        ),
        WARNING,
        "nfs4: nocto, so a file that is opened is not looked at anew.",
    ),
    "nfs3-nolock": (
        (
            f"691 640 0:52 / /data rw,relatime - nfs 10.0.1.5:/export/grin rw,vers=3,{NFS},{SHORT},hard,nolock,"
            "proto=tcp,timeo=600,sec=sys,mountaddr=10.0.1.5,mountvers=3,mountport=20048,mountproto=udp,"
            "lookupcache=pos,local_lock=all,addr=10.0.1.5"
        ),
        WARNING,
        "nfs: version 3; nolock, so other hosts do not see a lock.",
    ),
    "nfs-read-only": (
        (
            f"691 640 0:52 / /data ro,relatime - nfs4 10.0.1.5:/export/grin rw,vers=4.1,{NFS},{SHORT},hard,proto=tcp,"
            f"{TCP},lookupcache=pos,local_lock=none,addr=10.0.1.5"
        ),
        MUST,
        "/data, nfs4, mounted read-only.",
    ),
    "efs-by-its-helper": (
        (
            f"702 655 0:61 / /data rw,relatime - nfs4 127.0.0.1:/ rw,vers=4.1,{NFS},{SHORT},hard,noresvport,"
            "fatal_neterrors=none,proto=tcp,port=20907,timeo=600,retrans=2,sec=sys,clientaddr=127.0.0.1,"
            "lookupcache=pos,local_lock=none,addr=127.0.0.1"
        ),
        OK,
        "version 4.1",
    ),
    "azure-files-nfs-by-its-class": (
        (
            "702 655 0:61 / /data rw,relatime - nfs4 f71c.file.core.windows.net:/f71c/pvcn-231aebc3 rw,vers=4.1,"
            f"{NFS},acregmin=30,acregmax=30,acdirmax=30,hard,noresvport,proto=tcp,nconnect=4,{TCP},local_lock=none,"
            "addr=20.60.79.8"
        ),
        WARNING,
        "believed for up to 30 s.",
    ),
    "azure-files-smb": (
        (
            "702 655 0:61 / /data rw,relatime - cifs //f71c.file.core.windows.net/pvc-231aebc3 rw,vers=3.1.1,"
            "cache=strict,username=f71c,uid=0,gid=10001,file_mode=0777,dir_mode=0777,soft,persistenthandles,nounix,mfsymlinks"
        ),
        MUST,
        "That is SMB",
    ),
    "filestore-basic": (
        (
            f"702 655 0:61 / /data rw,relatime - nfs 10.2.0.2:/vol1 rw,vers=3,{NFS},{SHORT},hard,proto=tcp,timeo=600,"
            "retrans=3,sec=sys,mountaddr=10.2.0.2,mountvers=3,mountport=2050,mountproto=udp,lookupcache=pos,"
            "local_lock=none,addr=10.2.0.2"
        ),
        WARNING,
        "/data, nfs: version 3.",
    ),
    "longhorn-by-its-defaults": (
        (
            f"702 655 0:61 / /data rw,relatime - nfs4 10.43.7.9:/pvc-0d1c rw,vers=4.1,{NFS},softerr,noresvport,"
            f"proto=tcp,timeo=600,retrans=5,sec=sys,clientaddr=10.0.1.7,local_lock=none,addr=10.43.7.9"
        ),
        WARNING,
        "softerr, so a slow server",
    ),
    "cephfs-kernel": (
        (
            "702 655 0:61 / /data rw,relatime - ceph 10.0.1.5:6789,10.0.1.6:6789:/volumes/csi/csi-vol-1/9b0a "
            "rw,name=csi-cephfs-node,secret=<hidden>,acl,mds_namespace=myfs"
        ),
        OK,
        "/data, ceph.",
    ),
    "cephfs-fuse": (
        "702 655 0:61 / /data rw,nosuid,nodev,relatime - fuse.ceph-fuse ceph-fuse rw,user_id=0,group_id=0,allow_other",
        OK,
        "fuse.ceph-fuse.",
    ),
    "glusterfs": (
        "702 655 0:61 / /data rw,relatime - fuse.glusterfs 10.0.1.5:volume rw,user_id=0,group_id=0,allow_other",
        MUST,
        "That is GlusterFS",
    ),
    "mountpoint-for-s3": (
        "702 655 0:61 / /data rw,nosuid,nodev,noatime - fuse mountpoint-s3 rw,user_id=0,group_id=0,allow_other",
        MUST,
        "object store",
    ),
    "gcs-fuse-by-its-driver": (
        # Nothing says what it is but a bucket's name; its lack of hard links is what the probes refuse.
        "702 655 0:61 / /data rw,nosuid,nodev,noatime - fuse my-bucket rw,user_id=0,group_id=0,allow_other",
        WARNING,
        "the probes decide",
    ),
    "juicefs": (
        "702 655 0:61 / /data rw,relatime - fuse.juicefs JuiceFS:books rw,user_id=0,group_id=0,allow_other",
        WARNING,
        "That is JuiceFS",
    ),
    "seaweedfs": (
        "702 655 0:61 / /data rw,nosuid,nodev,relatime - fuse.seaweedfs filer:8888:/books rw,user_id=0,group_id=0",
        WARNING,
        "That is SeaweedFS",
    ),
    "kata": (
        "702 655 0:29 /passthrough/1f0a-data /data rw,relatime - virtiofs none rw",
        WARNING,
        "virtual machine",
    ),
    "minikube-mount": (
        "702 655 0:61 / /data rw,relatime - 9p 192.168.49.1 rw,dfltuid=1000,access=any,trans=tcp,port=41411",
        WARNING,
        "virtual machine",
    ),
    "empty-dir": (
        f"702 655 259:1 {KUBELET}/kubernetes.io~empty-dir/data /data rw,relatime - ext4 /dev/nvme0n1p1 rw,discard",
        MUST,
        "each pod has one of its own",
    ),
    "empty-dir-in-memory": (
        "702 655 0:61 / /data rw,relatime - tmpfs tmpfs rw,size=524288k,inode64",
        WARNING,
        "memory",
    ),
    "nothing-mounted": (
        "655 480 0:50 / / ro,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/c,workdir=/d",
        MUST,
        "or mount a volume there",
    ),
    "host-path-or-part-of-a-disk": (
        "702 655 259:1 /srv/books /data rw,relatime - ext4 /dev/nvme0n1p1 rw,discard",
        OK,
        "/data, ext4.",
    ),
    "local-volume": ("702 655 259:3 / /data rw,noatime - xfs /dev/nvme1n1 rw,attr2,inode64,noquota", OK, "/data, xfs."),
}


def judged(line: str) -> Finding:
    """What is thought of such a line."""
    return judge("pipeline_dir", parse(line))


@pytest.mark.parametrize(("line", "level", "word"), LINES.values(), ids=LINES.keys())
def test_a_mount_as_the_kernel_tells_it(line: str, level: str, word: str) -> None:
    """Each kind of volume that a pod may find at /data is known for what it is, with a cure where it needs one."""
    found = judged(line)
    assert found.level == level, found
    assert word in f"{found.sentence} {found.cure}"
    assert bool(found.cure) == (level != OK)


def test_every_doubt_about_nfs_is_told_at_once() -> None:
    """All that is wrong with a mount's options is one sentence, so that it is mended in one go."""
    line = "691 640 0:52 / /data rw,relatime - nfs server:/x rw,vers=3,soft,nocto,nolock,softreval,local_lock=all"
    assert judged(line).sentence == (
        "pipeline_dir is at /data, nfs: version 3; soft, so a slow server looks like a broken disk; softreval, so old "
        "attributes are believed while the server is away; nocto, so a file that is opened is not looked at anew; "
        "nolock, so other hosts do not see a lock; names looked up in vain are remembered; what was seen is believed "
        "for up to 60 s."
    )


def test_a_kernel_that_tells_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the list of mounts cannot be read, the file system is one that is not known, and no crash."""
    monkeypatch.setattr(mounts, "_mount_id", lambda _path: "no such mount")
    assert mount_of(tmp_path).kind == "unknown"

    def refused(_path: Path) -> str:
        raise PermissionError

    monkeypatch.setattr(mounts, "_mount_id", refused)
    assert judge("pipeline_dir", mount_of(tmp_path)).level == WARNING
