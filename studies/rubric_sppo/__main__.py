from studies.launch import start
from studies.rubric_sppo.study import main

start("studies.rubric_sppo", main)
