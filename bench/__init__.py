"""How fast is the pipeline, next to what one would otherwise write, on the same machine in the same minutes?"""
