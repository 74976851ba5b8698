"""Which checks there are for the settings of `magtkd-live`."""

from __future__ import annotations

from magtkd_rt.config import LiveConfig
from magtkd_rt.doctor.examine import Check
from magtkd_rt.doctor.gpu import check_gpu
from magtkd_rt.doctor.installation import check_imports, check_python, check_versions
from magtkd_rt.doctor.picture import check_camera
from magtkd_rt.doctor.place import check_folder, check_port
from magtkd_rt.doctor.sound import check_microphone, check_permissions, check_sound_server
from magtkd_rt.doctor.trained import check_bundle, check_faces, check_speech, check_words


def checks_for(config: LiveConfig, *, open_devices: bool = True) -> dict[str, Check]:
    """The checks by name, in the order in which their findings are shown.

    Args:
        config: which devices, models and port are wanted.
        open_devices: listen to the microphone and look at the camera.
    """
    checks: dict[str, Check] = {
        "python": check_python,
        "packages": check_versions,
        "imports": check_imports,
        "permissions": check_permissions,
    }
    if not config.no_mic:
        checks["sound server"] = check_sound_server
        checks["microphone"] = lambda: check_microphone(config.mic, record=open_devices)
    if not config.no_camera and open_devices:
        checks["camera"] = lambda: check_camera(config.camera)
    checks["gpu"] = check_gpu
    checks["words"] = lambda: check_words(config.asr, config.whisper_model)
    checks["speech detector"] = check_speech
    if not config.no_camera:
        checks["faces"] = check_faces
    checks["bundle"] = lambda: check_bundle(config.bundle)
    if config.server:
        checks["port"] = lambda: check_port(config)
    if (folder := config.record) is not None:
        checks["recordings"] = lambda: check_folder(folder)
    return checks
