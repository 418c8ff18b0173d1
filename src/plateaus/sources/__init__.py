"""Where model weights come from: the embedded package, the hub, local folders, random initialisations."""
