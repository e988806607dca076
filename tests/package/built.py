"""The Debian package of the build directory ARKRELAY_BUILD, built once per run."""

import functools
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest


def need(program):
    if not shutil.which(program):
        raise unittest.SkipTest(f"there is no {program}")


@functools.cache
def _folder():
    """A directory that is removed at the end of the run."""
    return tempfile.TemporaryDirectory(prefix="arkrelay-package-")


@functools.cache
def package():
    need("dpkg-shlibdeps")
    subprocess.run(["cpack", "--config", f"{os.environ['ARKRELAY_BUILD']}/CPackConfig.cmake", "-G", "DEB", "-B", _folder().name],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    built, = pathlib.Path(_folder().name).glob("*.deb")
    return built
