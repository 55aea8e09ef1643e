from studies.launch import start
from studies.sppo.study import main

start("studies.sppo", main)
