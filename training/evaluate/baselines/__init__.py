"""What an encoder must beat, each as a module that speaks the HEAR API."""
