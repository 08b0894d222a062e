import '../kit/theme.css'

import { mount } from 'svelte'

import Cockpit from './Cockpit.svelte'

const target = document.getElementById('app')
if (target === null) throw new Error('index.html has no #app')
mount(Cockpit, { target })
