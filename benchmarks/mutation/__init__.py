"""Plant small faults in the modules that decide about money, and see whether their tests notice."""
