"""torch and diffusers, imported by one thread: they import each other in circles, which two threads at once break."""

from threading import Lock

_ACCESS = Lock()


def load_libraries() -> None:
    """Returns when all that drawing needs is imported, by this thread or by another one.

    Call it in the applications before whatever imports them inside a function: the page and the interface are
    there before the libraries, and the first clicks come while a worker still opens the model.
    """
    with _ACCESS:
        import pipelines.ask.run
        import pipelines.controls.nets
        import pipelines.describe
        import pipelines.studio  # noqa: F401
