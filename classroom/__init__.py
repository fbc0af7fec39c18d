"""What authors and instructors run: build the quizzes, publish the notebooks, grade a class.

It is used from a clone of the repository and is not part of the installed package.
"""
