"""PET to CT: the coarse scene, the rigid search, and the skeleton as an independent measure."""
