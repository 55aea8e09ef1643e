from studies.launch import start
from studies.longpo.study import main

start("studies.longpo", main)
