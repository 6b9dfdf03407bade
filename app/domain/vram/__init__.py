"""How much memory a model needs on each GPU, before anything is started: pure rules, sizes in bytes."""
