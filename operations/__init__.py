"""What went wrong, and how is it mended so that everyone can see what was done?"""
